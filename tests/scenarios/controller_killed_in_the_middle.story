# The controller is killed at every turn; the next one carries on where the status says.
apply canary.yaml
until phase Healthy
release shop:v2
restart controller
until weight 20
restart controller
until step 2
restart controller
until weight 50
restart controller
until revision 2 stable
restart controller
until phase Healthy
expect weight 0
