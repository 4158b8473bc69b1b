package main

import (
	_ "github.com/crossplane/crossplane-runtime/v2/pkg/fieldpath"
	_ "github.com/crossplane/function-sdk-go"
	_ "github.com/upbound/provider-azure/v2/apis/cluster/managedidentity/v1beta1"
	_ "github.com/upbound/provider-azure/v2/apis/namespaced/managedidentity/v1beta1"
	_ "pgregory.net/rapid"

	_ "github.com/serviceconnections/function-service-connections/fn/claim"
	_ "github.com/serviceconnections/function-service-connections/input/v1beta1"
)

func main() {}
