# At 50 % a third version comes while the stable set is scaled down: it has its pods before it has its traffic.
apply manual.yaml
set strategy.canary.dynamicStableScale true
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
until pods 1 2/2
release shop:v3
until service canary selects 3
until step 1
expect weight 20
until revision 2 gone
