# A good version goes through 20 % and 50 % while its success rate is measured, and takes over.
apply canary.yaml
until phase Healthy
release shop:v2
until revision 2 stable
until phase Healthy
expect service stable selects 2
# The old pods stay for thirty seconds, in case somebody changes their mind.
until revision 1 gone
