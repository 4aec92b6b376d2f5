# A router that computes for ever is ended when its processor time is used up, rests, and is tried again now and then.
plugin computing-router
apply acme.yaml
until phase Healthy
release shop:v2
until event TrafficRoutingError
abort
until phase Degraded
plugin working-router
until revision 2 gone
