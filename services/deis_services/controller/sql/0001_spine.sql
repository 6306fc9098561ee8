-- The state of the platform. Every change of it that others should know of writes a row of
-- `events` in the same transaction. Encrypted columns end in `_sealed` (AES-GCM, deis_platform.crypto).

CREATE TABLE users (
    id               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username         text NOT NULL UNIQUE,
    password         text NOT NULL,
    email            text NOT NULL DEFAULT '',
    first_name       text NOT NULL DEFAULT '',
    last_name        text NOT NULL DEFAULT '',
    is_superuser     boolean NOT NULL DEFAULT false,
    is_staff         boolean NOT NULL DEFAULT false,
    is_active        boolean NOT NULL DEFAULT true,
    token_generation integer NOT NULL DEFAULT 1,
    last_login       timestamptz,
    date_joined      timestamptz NOT NULL DEFAULT now()
);

-- The one legacy token of a user: derived from user and generation, so only its hash is kept.
CREATE TABLE tokens (
    hash       text PRIMARY KEY,
    user_id    integer NOT NULL UNIQUE REFERENCES users ON DELETE CASCADE,
    generation integer NOT NULL,
    created    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE logins (
    username text NOT NULL,
    address  text NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX logins_at ON logins (username, address, at);

CREATE TABLE keys (
    uuid        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     integer NOT NULL REFERENCES users ON DELETE CASCADE,
    id          text NOT NULL UNIQUE,
    public      text NOT NULL UNIQUE,
    fingerprint text NOT NULL UNIQUE,
    created     timestamptz NOT NULL DEFAULT now(),
    updated     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE apps (
    uuid               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    id                 text NOT NULL UNIQUE,
    owner_id           integer NOT NULL REFERENCES users,
    structure          jsonb NOT NULL DEFAULT '{}',
    procfile_structure jsonb NOT NULL DEFAULT '{}',
    -- What should run: the release, and a number that grows with every change of what should run.
    wanted_version     integer NOT NULL DEFAULT 0,
    generation         bigint NOT NULL DEFAULT 0,
    created            timestamptz NOT NULL DEFAULT now(),
    updated            timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX apps_owner ON apps (owner_id);

CREATE TABLE shares (
    app     uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app, user_id)
);
CREATE INDEX shares_user ON shares (user_id);

CREATE TABLE configs (
    uuid                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    app                      uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    owner_id                 integer NOT NULL REFERENCES users,
    values_sealed            bytea NOT NULL,
    registry_sealed          bytea,
    memory                   jsonb NOT NULL DEFAULT '{}',
    cpu                      jsonb NOT NULL DEFAULT '{}',
    tags                     jsonb NOT NULL DEFAULT '{}',
    healthcheck              jsonb NOT NULL DEFAULT '{}',
    lifecycle_post_start     jsonb NOT NULL DEFAULT '{}',
    lifecycle_pre_stop       jsonb NOT NULL DEFAULT '{}',
    termination_grace_period jsonb NOT NULL DEFAULT '{}',
    created                  timestamptz NOT NULL DEFAULT now(),
    updated                  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX configs_app ON configs (app);

CREATE TABLE builds (
    uuid       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    app        uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    owner_id   integer NOT NULL REFERENCES users,
    image      text NOT NULL,
    sha        text NOT NULL DEFAULT '',
    procfile   jsonb NOT NULL DEFAULT '{}',
    dockerfile text NOT NULL DEFAULT '',
    created    timestamptz NOT NULL DEFAULT now(),
    updated    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX builds_app ON builds (app, created);

CREATE TABLE releases (
    uuid      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    app       uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    owner_id  integer NOT NULL REFERENCES users,
    version   integer NOT NULL CHECK (version > 0),
    summary   text NOT NULL,
    state     text NOT NULL DEFAULT 'pending'
              CHECK (state IN ('pending', 'deploying', 'succeeded', 'failed', 'superseded')),
    exception text,
    config    uuid NOT NULL REFERENCES configs ON DELETE CASCADE,
    build     uuid REFERENCES builds ON DELETE CASCADE,
    stages    jsonb NOT NULL DEFAULT '{}',
    created   timestamptz NOT NULL DEFAULT now(),
    updated   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (app, version)
);

CREATE TABLE domains (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app         uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    owner_id    integer NOT NULL REFERENCES users,
    domain      text COLLATE "C" NOT NULL UNIQUE,
    created     timestamptz NOT NULL DEFAULT now(),
    updated     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX domains_app ON domains (app);

-- Writes that wait their turn (DESIGN 5). The row outlives its app: its answer is still asked for.
CREATE TABLE operations (
    id             uuid PRIMARY KEY,
    seq            bigint GENERATED ALWAYS AS IDENTITY,
    app            uuid NOT NULL,
    app_id         text NOT NULL,
    kind           text NOT NULL,
    caller_id      integer NOT NULL,
    caller         text NOT NULL,
    request_id     text NOT NULL UNIQUE,
    input_sealed   bytea NOT NULL,
    waits          boolean NOT NULL DEFAULT false,
    state          text NOT NULL DEFAULT 'queued'
                   CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
    version        integer,
    previous       jsonb NOT NULL DEFAULT '{}',
    status         integer,
    answer_sealed  bytea,
    push           uuid,
    traceparent    text NOT NULL DEFAULT '',
    created        timestamptz NOT NULL DEFAULT now(),
    started        timestamptz,
    deadline       timestamptz,
    ended          timestamptz
);
CREATE INDEX operations_open ON operations (app, seq) WHERE state IN ('queued', 'running');
CREATE INDEX operations_ended ON operations (ended);

-- A repeat with the same key gets the first answer (kept 24 h).
CREATE TABLE idempotency (
    user_id   integer NOT NULL,
    key       text NOT NULL,
    route     text NOT NULL,
    body_hash text NOT NULL,
    operation uuid,
    status    integer,
    answer_sealed bytea,
    created   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);

-- A push from its first byte to its end; the unfinished row of an app is the lock (DESIGN 5).
CREATE TABLE pushes (
    uuid        uuid PRIMARY KEY,
    app         uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    number      integer NOT NULL,
    user_id     integer NOT NULL,
    username    text NOT NULL,
    state       text NOT NULL CHECK (state IN
                ('receiving', 'queued', 'building', 'releasing', 'released', 'failed', 'superseded', 'closed')),
    holder      text NOT NULL DEFAULT '',
    attempt     integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    sha         text NOT NULL DEFAULT '',
    ref         text NOT NULL DEFAULT '',
    source      text NOT NULL DEFAULT '',
    reason      text NOT NULL DEFAULT '',
    version     integer NOT NULL DEFAULT 0,
    stages      jsonb NOT NULL DEFAULT '{}',
    traceparent text NOT NULL DEFAULT '',
    entered     timestamptz NOT NULL DEFAULT now(),
    created     timestamptz NOT NULL DEFAULT now(),
    updated     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (app, number)
);
CREATE UNIQUE INDEX pushes_open ON pushes (app)
    WHERE state IN ('receiving', 'queued', 'building', 'releasing');

CREATE TABLE events (
    seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            uuid NOT NULL UNIQUE,
    type          text NOT NULL,
    version       integer NOT NULL DEFAULT 1,
    app           text NOT NULL,
    appuuid       text NOT NULL DEFAULT '',
    actor         text NOT NULL DEFAULT '',
    traceparent   text NOT NULL DEFAULT '',
    correlationid text NOT NULL DEFAULT '',
    causationid   text NOT NULL DEFAULT '',
    source        text NOT NULL DEFAULT 'controller',
    data          bytea NOT NULL,
    created       timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent          timestamptz
);
CREATE INDEX events_unsent ON events (seq) WHERE sent IS NULL;
CREATE INDEX events_created ON events (created);
