# A Rollout is deleted, and at once there is another one of its name that has no router. What the first one left is the
# second one's to let go of, and nobody else's.
apply subsets.yaml
until phase Healthy
release shop:v2
until phase Paused
expect subset canary selects 2
delete rollout shop
apply shop-without-router.yaml
until phase Healthy
until subset canary selects all
expect subset stable selects all
wait 1m
