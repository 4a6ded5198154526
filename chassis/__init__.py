"""What every service stands on: settings, errors, logs, metrics, health, servers, Redis, lifecycle.

The chassis knows no service: here is what each would otherwise write again.

    values     errors  clock  parsers  settings  masking  build
    telling    log  metrics
    serving    listen  status  health  reflection  server  http  ops  lifecycle  workers
    storing    lua  redis (the door)  redis_settings  redis_sites  redis_places  redis_link
               redis_replies  redis_stats  breaker
"""
