# The stable set was scaled down, and the router's object cannot be written any more at 50 %. The stable set comes back at
# once, then the canary Service follows it; the canary keeps its pods until the weight is known to be 0.
apply manual.yaml
set strategy.canary.dynamicStableScale true
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
until pods 1 2/2
fail writes virtualservices
abort
until phase Degraded
until service canary selects 1
expect weight 50
wait 2m
expect weight 50
expect pods 1 4/4
expect pods 2 2/2
heal
until weight 0
until revision 2 gone
