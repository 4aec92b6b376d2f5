# A Rollout is deleted while no controller runs. The next one finds what is marked as that Rollout's, and knows nothing else
# of it: the hashes go, the weights stay.
apply subsets.yaml
apply onlooker.yaml
rollout shop
until phase Healthy
release shop:v2
until phase Paused
stop controller
rollout onlooker
delete rollout shop
wait 1m
# Of a set that is gone.
expect subset canary selects 0
start controller
until subset canary selects all
expect subset stable selects all
expect weight 20
