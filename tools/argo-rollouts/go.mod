// Argo Rollouts, of which the tests read the CustomResourceDefinition of a Rollout from
// the module cache, where go.sum vouches for it. Nothing is imported, so don't run
// go mod tidy here, which would drop the requirement.
module github.com/serviceconnections/function-service-connections/tools/argo-rollouts

go 1.26.7

require github.com/argoproj/argo-rollouts v1.8.3
