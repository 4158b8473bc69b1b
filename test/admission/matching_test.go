package admission_test

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func controlledBy(apiVersion, kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: "b0b", Controller: &yes}}
}
