# At 50 % the router's plugin is taken away: the update cannot go on, but it can be aborted, and Degraded says so.
plugin working-router
apply acme.yaml
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
no plugin router
until phase Degraded
expect message InvalidSpec
abort
wait 1m
expect phase Degraded
plugin working-router
until revision 2 gone
expect phase Degraded
