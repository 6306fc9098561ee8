"""`python -I -m deis_services.slugbuilder`: one build, from the environment to the exit code."""

from deis_services.slugbuilder.build import main

raise SystemExit(main())
