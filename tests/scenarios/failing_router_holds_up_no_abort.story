# The router's object cannot be written any more at 20 %. Status, Degraded and the canary Service do not wait for it.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
expect weight 20
fail writes virtualservices
abort
until phase Degraded
until service canary selects 1
expect weight 20
# The canary keeps its pods as long as the weight may still be in force.
wait 2m
expect weight 20
heal
until weight 0
until revision 2 gone
