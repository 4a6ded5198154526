"""What every service stands on: settings, errors, logs, metrics, health, servers, Redis, lifecycle.

The chassis knows no service. A module enters when two services would otherwise write it twice.

    values     errors  clock  parsers  settings  build
    telling    log  metrics
    serving    listen  status  health  reflection  server  http  ops  lifecycle
    storing    lua  redis (the door)  redis_settings  redis_sites  redis_link  redis_replies
               redis_stats  breaker
"""
