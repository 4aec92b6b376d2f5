# A Rollout is deleted at 50 %. Nothing of ours holds it up; afterwards its router lets go: no subset has a hash, and the
# canary no weight (RT-ISTIO-013).
apply subsets.yaml
apply onlooker.yaml
rollout shop
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
expect weight 50
expect subset canary selects 2
rollout onlooker
delete rollout shop
until event RolloutDeleted
until subset canary selects all
expect subset stable selects all
expect weight 0
