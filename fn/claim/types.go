// Package claim is the ServiceConnection that an application team writes, as
// the function reads it: its types, their defaults, and their validation.
//
// The types are also the source of the XRDs under package/: the kubebuilder
// markers below become the schema and the CEL rules that the API server holds
// every ServiceConnection to. Those of a connection's fields have none: what must
// be in them, and which belong to which type of connection, each type declares in
// package connection, and the XRDs get it from there.
//
// +groupName=serviceconnections.io
// +versionName=v1alpha1
package claim

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A ServiceConnection says which cloud resources each service of a team
// connects to.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories={crossplane}
// +kubebuilder:printcolumn:name="CONNECTED",type=string,JSONPath=".status.connected",description="Connections that are ready, of all in the claim"
// +kubebuilder:printcolumn:name="REASON",type=string,priority=1,JSONPath=".status.conditions[?(@.type=='Connected')].message",description="The first thing that keeps a connection from being ready"
type ServiceConnection struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   Spec   `json:"spec"`
	Status Status `json:"status,omitempty"`
}

// A Spec is what a team writes.
type Spec struct {
	// Services of this team that connect to cloud resources.
	//
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:rule="self.map(s, s.connections.map(c, has(c.create) ? (has(c.create.policyArns) ? c.create.policyArns.size() : 0) + (has(c.create.policy) ? 10 : 0) : 0).sum()).sum() <= 1000",message="have more than 1000 policyArns together, of which a policy counts as 10; split the ServiceConnection"
	// +kubebuilder:validation:XValidation:rule="self.map(s, s.connections.map(c, has(c.create) && has(c.create.policyArns) ? c.create.policyArns.map(a, a.size()).sum() : 0).sum()).sum() <= 100000",message="have policyArns of more than 100000 characters together; split the ServiceConnection"
	// +kubebuilder:validation:XValidation:rule="self.map(s, s.connections.size()).sum() <= 500",message="have more than 500 connections together; split the ServiceConnection"
	Services []Service `json:"services"`
}

// A Service is one deployable unit with an identity of its own: the pods of one
// workload, which run as one ServiceAccount.
type Service struct {
	// Name of the service, a DNS label. The workload has the same name unless
	// workload says otherwise.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// Workload whose pods get the connections. Defaults to the apps/v1
	// Deployment of the service's name.
	//
	// +optional
	Workload *Workload `json:"workload,omitempty"`

	// Containers, init containers included, that get the environment variables
	// and mounts. Empty means every container of the pod.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Containers []string `json:"containers,omitempty"`

	// ServiceAccountName is an existing ServiceAccount that the workload runs
	// as. It is used, never changed. Defaults to a ServiceAccount that is
	// composed for the service, named <claim>-<service>.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// RequireInjection holds back the service's pods until they get all of their
	// injection, where the cluster has the admission policy for it. Pods that are
	// older than this stay.
	//
	// +optional
	RequireInjection *bool `json:"requireInjection,omitempty"`

	// Connections of this service, at most one of each type and name.
	//
	// +listType=map
	// +listMapKey=type
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	Connections []Connection `json:"connections"`
}

// A Workload names the Kubernetes object whose pods get the connections.
//
// +kubebuilder:validation:XValidation:rule="(self.kind in ['Deployment','StatefulSet','DaemonSet','ReplicaSet']) ? self.apiVersion == 'apps/v1' : true",message="this kind has apiVersion apps/v1",fieldPath=".apiVersion",reason=FieldValueInvalid
// +kubebuilder:validation:XValidation:rule="(self.kind in ['Job','CronJob']) ? self.apiVersion == 'batch/v1' : true",message="this kind has apiVersion batch/v1",fieldPath=".apiVersion",reason=FieldValueInvalid
// +kubebuilder:validation:XValidation:rule="self.kind == 'Pod' ? self.apiVersion == 'v1' : true",message="a Pod has apiVersion v1",fieldPath=".apiVersion",reason=FieldValueInvalid
// +kubebuilder:validation:XValidation:rule="self.kind == 'Rollout' ? self.apiVersion == 'argoproj.io/v1alpha1' : true",message="a Rollout has apiVersion argoproj.io/v1alpha1",fieldPath=".apiVersion",reason=FieldValueInvalid
type Workload struct {
	// APIVersion of the workload, the one that belongs to its kind.
	//
	// +kubebuilder:default="apps/v1"
	// +kubebuilder:validation:Enum=apps/v1;batch/v1;v1;argoproj.io/v1alpha1
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the workload.
	//
	// +kubebuilder:default=Deployment
	// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet;ReplicaSet;Job;CronJob;Pod;Rollout
	Kind string `json:"kind,omitempty"`

	// Name of the workload, in the claim's namespace.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// A ConnectionType says what a service connects to. The names are those of
// Porter's porter.yaml.
type ConnectionType string

// The connection types that more than their own file speaks of.
const (
	TypeAWSRole              ConnectionType = "awsRole"
	TypeAzureManagedIdentity ConnectionType = "azureManagedIdentity"
	TypeCloudSQL             ConnectionType = "cloudSql"
	TypeDisk                 ConnectionType = "disk"
	TypeGCPServiceAccount    ConnectionType = "gcpServiceAccount"
)

// A Connection connects a service to one cloud resource. Type says which of the
// other fields apply.
type Connection struct {
	// Type of the connection.
	Type ConnectionType `json:"type"`

	// Name tells connections of one type apart where a service has several: a DNS
	// label that begins with a letter. What pods get by the connection has it in its
	// name. (cloudSql, disk)
	//
	// +optional
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:Pattern=`^([a-z]([-a-z0-9]*[a-z0-9])?)?$`
	Name string `json:"name,omitempty"`

	// Role is the AWS IAM role that the service's pods assume: its name, for a
	// role of the cluster's account, or its ARN. (awsRole)
	//
	// +optional
	Role string `json:"role,omitempty"`

	// Create the role, with a trust policy for the service's pods only. Its name
	// is generated from the cluster, the namespace, the ServiceAccount and role.
	// (awsRole)
	//
	// +optional
	Create *RoleCreation `json:"create,omitempty"`

	// TargetRoleARN is a role, usually of another AWS account, that EKS Pod
	// Identity assumes from role. (awsRole)
	//
	// +optional
	TargetRoleARN string `json:"targetRoleArn,omitempty"`

	// DisableSessionTags leaves out the tags that EKS Pod Identity adds to the
	// pods' sessions, by which policies tell clusters, namespaces and
	// ServiceAccounts apart. In mode IRSA sessions never have any. (awsRole)
	//
	// +optional
	DisableSessionTags *bool `json:"disableSessionTags,omitempty"`

	// IdentityName is the name of the Azure user-assigned managed identity.
	// (azureManagedIdentity)
	//
	// +optional
	IdentityName string `json:"identityName,omitempty"`

	// ResourceGroup is the resource group of the identity.
	// (azureManagedIdentity)
	//
	// +optional
	ResourceGroup string `json:"resourceGroup,omitempty"`

	// SubscriptionID is the subscription of the identity, one that the cluster
	// settings have. Defaults to the cluster's. (azureManagedIdentity)
	//
	// +optional
	SubscriptionID string `json:"subscriptionId,omitempty"`

	// ServiceAccountEmail is the Google service account that the service's pods
	// act as. (gcpServiceAccount)
	//
	// +optional
	ServiceAccountEmail string `json:"serviceAccountEmail,omitempty"`

	// Config of a cloudSql or disk connection.
	//
	// +optional
	Config *Config `json:"config,omitempty"`

	// Env names the variables in which pods get the connection, where an application
	// looks for others. (cloudSql)
	//
	// +optional
	Env *Variables `json:"env,omitempty"`
}

// Variables are names that a claim gives to those of a connection. One that it doesn't
// give is DB_HOST, DB_PORT or DB_INSTANCE_CONNECTION_NAME, after the connection's name.
type Variables struct {
	// Host is the name of the variable with the host, such as PGHOST.
	//
	// +optional
	Host string `json:"host,omitempty"`

	// Port is the name of the variable with the port, such as PGPORT.
	//
	// +optional
	Port string `json:"port,omitempty"`

	// InstanceConnectionName is the name of the variable with the instance, as
	// project:region:instance.
	//
	// +optional
	InstanceConnectionName string `json:"instanceConnectionName,omitempty"`
}

// ID of the connection in its service.
func (c *Connection) ID() ConnectionID { return ConnectionID{Type: c.Type, Name: c.Name} }

// A ConnectionID tells the connections of a service apart: by their type, and where it
// may have several of that, by their name. Most have none.
type ConnectionID struct {
	Type ConnectionType
	Name string
}

// String is the type, and the name after a slash where there is one. It is how composed
// resources say who needs them, so it stays as it is.
func (id ConnectionID) String() string {
	if id.Name == "" {
		return string(id.Type)
	}
	return string(id.Type) + "/" + id.Name
}

// ParseConnectionID is the ID of a text that String wrote.
func ParseConnectionID(s string) ConnectionID {
	typ, name, _ := strings.Cut(s, "/")
	return ConnectionID{Type: ConnectionType(typ), Name: name}
}

// A RoleCreation says what a role that is created may do.
type RoleCreation struct {
	// PolicyARNs are the managed policies of the role.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:items:MaxLength=768
	// +kubebuilder:validation:items:Pattern=`^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/([!-~]{1,512}/)?[\w+=,.@-]{1,128}$`
	PolicyARNs []string `json:"policyArns,omitempty"`

	// Policy is a policy document that the role gets beside them.
	//
	// +optional
	Policy *PolicyDocument `json:"policy,omitempty"`
}

// A PolicyDocument is an IAM policy, in the names of its own grammar.
type PolicyDocument struct {
	// Version of the policy language.
	//
	// +kubebuilder:validation:Enum="2012-10-17"
	Version string `json:"Version"`

	// Statement is a list of what the policy allows and denies.
	//
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	Statement []Statement `json:"Statement"`
}

// A Statement of an IAM policy. Its elements are left to AWS, but hold no more than IAM's
// grammar has: a value, a list of values, or a condition.
//
// +kubebuilder:pruning:PreserveUnknownFields
type Statement struct {
	// Elements of the statement, such as Effect, Action and Resource.
	Elements map[string]any `json:"-"`
}

// A Config holds the fields that porter.yaml nests under config.
type Config struct {
	// CloudSQLConnectionName is the instance, as project:region:instance.
	// (cloudSql)
	//
	// +optional
	CloudSQLConnectionName string `json:"cloudSqlConnectionName,omitempty"`

	// CloudSQLDatabasePort is the port on 127.0.0.1 at which the service's
	// containers reach the database. (cloudSql)
	//
	// +optional
	CloudSQLDatabasePort int32 `json:"cloudSqlDatabasePort,omitempty"`

	// CloudSQLServiceAccount is the Google service account that connects to
	// the instance: its e-mail, or its id in the cluster's project. (cloudSql)
	//
	// +optional
	CloudSQLServiceAccount string `json:"cloudSqlServiceAccount,omitempty"`

	// IPType says over which address of the instance the proxy connects.
	// Defaults to Public. (cloudSql)
	//
	// +optional
	IPType string `json:"ipType,omitempty"`

	// AutoIAMAuthn logs in to the database as the Google service account.
	// (cloudSql)
	//
	// +optional
	AutoIAMAuthn *bool `json:"autoIamAuthn,omitempty"`

	// DiskName is the PersistentVolumeClaim, or the disk's name in the cluster
	// settings. (disk)
	//
	// +optional
	DiskName string `json:"diskName,omitempty"`

	// MountPath is where the disk is mounted. Defaults to /data/<diskName>.
	// (disk)
	//
	// +optional
	MountPath string `json:"mountPath,omitempty"`

	// ReadOnly mounts the disk read-only. (disk)
	//
	// +optional
	ReadOnly *bool `json:"readOnly,omitempty"`

	// SubPath is the folder of the disk that is mounted. (disk)
	//
	// +optional
	SubPath string `json:"subPath,omitempty"`

	// FSGroup owns the disk's files, where the pod sets no group itself.
	// (disk)
	//
	// +optional
	FSGroup *int64 `json:"fsGroup,omitempty"`
}
