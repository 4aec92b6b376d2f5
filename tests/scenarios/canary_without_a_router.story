# Without a router the share of pods is the share of traffic: never fewer than five available, never more than six.
apply basic.yaml
until phase Healthy
release shop:v2
until phase Paused
expect step 1
promote
until phase Healthy
expect revision 2 stable
until revision 1 gone
