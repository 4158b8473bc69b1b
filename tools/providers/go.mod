// The provider packages whose CustomResourceDefinitions the tests hold every
// composed resource to. Nothing is imported from them: their CRDs are read from
// the module cache, where go.sum vouches for them. So don't run go mod tidy
// here, which would drop the requirements.
module github.com/serviceconnections/function-service-connections/tools/providers

go 1.26.7

require (
	github.com/crossplane-contrib/provider-kubernetes v1.3.1
	github.com/upbound/provider-aws/v2 v2.5.0
	github.com/upbound/provider-azure/v2 v2.6.0
	github.com/upbound/provider-gcp v1.14.0
)
