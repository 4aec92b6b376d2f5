# At 50 % a third version comes, and the router fails: the set that carries the traffic is protected, and the deadline is
# kept.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
expect weight 50
fail writes virtualservices
release shop:v3
until phase Degraded
expect weight 50
expect service canary selects 2
heal
until service canary selects 3
until step 1
expect weight 20
