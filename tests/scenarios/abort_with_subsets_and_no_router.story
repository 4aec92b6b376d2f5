# Subsets are split, and the router's objects cannot be written any more at 50 %: Degraded at once, the weight is said to be
# unconfirmed, and no pod that may still get traffic goes.
apply subsets.yaml
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
expect weight 50
fail writes virtualservices
fail writes destinationrules
abort
until phase Degraded
wait 2m
expect weight 50
expect pods 1 4/4
expect pods 2 2/2
expect subset canary selects 2
heal
until weight 0
until revision 2 gone
