"""`python -m ratelimit_service`: parse settings, run the app."""

from ratelimit_service.app import main

if __name__ == "__main__":
    raise SystemExit(main())
