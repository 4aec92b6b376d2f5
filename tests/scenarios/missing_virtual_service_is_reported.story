# The same for the object that the router writes.
apply manual.yaml
until phase Healthy
delete virtualservice shop
release shop:v2
until phase Degraded
expect message virtualservices.networking.istio.io "shop" not found
apply virtual-service.yaml
until phase Paused
expect weight 20
