# At 50 % somebody puts the stable template back while the stable set is scaled down: pods first, then traffic, then the
# Service, then the canary's pods.
apply manual.yaml
set strategy.canary.dynamicStableScale true
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
until pods 1 2/2
release shop:v1
until event SkipSteps
until weight 0
until service canary selects 3
until revision 2 gone
expect pods 3 4/4
expect phase Healthy
