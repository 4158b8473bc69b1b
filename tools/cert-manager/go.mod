// cert-manager, whose CustomResourceDefinitions the tests hold the manifests for it to.
// Nothing is imported from it: they are read from the module cache, where go.sum vouches
// for them. So don't run go mod tidy here, which would drop the requirement.
module github.com/serviceconnections/function-service-connections/tools/cert-manager

go 1.26.7

require github.com/cert-manager/cert-manager v1.19.1
