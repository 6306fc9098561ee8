-- Names of applications that are being created: the runtime is asked for a name while no transaction
-- is open. A row goes when that of its application is written, or when it is old.
CREATE TABLE reservations (
    id      text PRIMARY KEY,
    uuid    uuid NOT NULL DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now()
);
