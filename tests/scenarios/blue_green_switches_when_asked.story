# The preview follows at once, the active Service waits for somebody, the old pods wait twenty seconds.
apply blue-green.yaml
until phase Healthy
expect service active selects 1
release shop:v2
until phase Paused
expect service preview selects 2
expect service active selects 1
promote
until service active selects 2
until phase Healthy
until revision 1 gone
