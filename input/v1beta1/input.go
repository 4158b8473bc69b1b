// Package v1beta1 is the function's input: the cluster settings that a platform
// team writes once, and where the function reads and writes on the composite
// resource.
//
// +kubebuilder:object:generate=true
// +groupName=serviceconnections.fn.crossplane.io
// +versionName=v1beta1
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Input of function-service-connections.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:resource:categories=crossplane
type Input struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Source says where on the composite resource the function reads the
	// services and writes their status. The defaults suit ServiceConnection.
	//
	// +optional
	Source Source `json:"source,omitempty"`

	// SettingsFrom names an object that holds the settings.
	//
	// +optional
	SettingsFrom *SettingsFrom `json:"settingsFrom,omitempty"`

	// Settings of the cluster. They win, field by field, over settingsFrom.
	//
	// +optional
	Settings *Settings `json:"settings,omitempty"`
}

// A Source is a set of field paths on the composite resource, such as
// spec.services.
type Source struct {
	// Services is the path of the services list.
	//
	// +optional
	// +kubebuilder:default=spec.services
	Services string `json:"services,omitempty"`

	// Status is the path that the status is written to.
	//
	// +optional
	// +kubebuilder:default=status
	Status string `json:"status,omitempty"`

	// Namespace is the path of the team's namespace, for a cluster-scoped
	// composite resource that no claim made.
	//
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// SettingsFrom names the object that holds the settings.
type SettingsFrom struct {
	// EnvironmentConfig whose data is the settings.
	EnvironmentConfig EnvironmentConfigReference `json:"environmentConfig"`
}

// An EnvironmentConfigReference names an EnvironmentConfig.
type EnvironmentConfigReference struct {
	// Name of the EnvironmentConfig.
	//
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}
