# At 20 % the traffic is given to another router. The one before lets go before any pod goes: its canary Service has no
# weight left when the update ends.
plugin working-router
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
expect weight 20
set strategy.canary.trafficRouting {"istio":null,"plugins":{"acme/router":{"gateway":"edge"}}}
until weight 0
expect pods 1 4/4
promote full
until revision 1 gone
until phase Healthy
