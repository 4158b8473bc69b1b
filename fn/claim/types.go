// Package claim is the ServiceConnection that an application team writes, as
// the function reads it: its types, their defaults, and their validation.
//
// The types are also the source of the XRDs under package/: the kubebuilder
// markers below become the schema and the CEL rules that the API server holds
// every ServiceConnection to.
//
// +groupName=serviceconnections.io
// +versionName=v1alpha1
package claim

import (
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

	// Connections of this service, at most one of each type.
	//
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
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
//
// +kubebuilder:validation:Enum=awsRole;azureManagedIdentity;cloudSql;disk;gcpServiceAccount
type ConnectionType string

// The connection types.
const (
	TypeAWSRole              ConnectionType = "awsRole"
	TypeAzureManagedIdentity ConnectionType = "azureManagedIdentity"
	TypeCloudSQL             ConnectionType = "cloudSql"
	TypeDisk                 ConnectionType = "disk"
	TypeGCPServiceAccount    ConnectionType = "gcpServiceAccount"
)

// A Connection connects a service to one cloud resource. Type says which of the
// other fields apply.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'awsRole' || has(self.role)",message="role is required for awsRole",fieldPath=".role",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.type == 'awsRole' || !has(self.role)",message="role is a field of awsRole only",fieldPath=".role",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type == 'awsRole' || !has(self.targetRoleArn)",message="targetRoleArn is a field of awsRole only",fieldPath=".targetRoleArn",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'azureManagedIdentity' || has(self.identityName)",message="identityName is required for azureManagedIdentity",fieldPath=".identityName",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.type == 'azureManagedIdentity' || !has(self.identityName)",message="identityName is a field of azureManagedIdentity only",fieldPath=".identityName",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'azureManagedIdentity' || has(self.resourceGroup)",message="resourceGroup is required for azureManagedIdentity",fieldPath=".resourceGroup",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.type == 'azureManagedIdentity' || !has(self.resourceGroup)",message="resourceGroup is a field of azureManagedIdentity only",fieldPath=".resourceGroup",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type == 'azureManagedIdentity' || !has(self.subscriptionId)",message="subscriptionId is a field of azureManagedIdentity only",fieldPath=".subscriptionId",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'gcpServiceAccount' || has(self.serviceAccountEmail)",message="serviceAccountEmail is required for gcpServiceAccount",fieldPath=".serviceAccountEmail",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.type == 'gcpServiceAccount' || !has(self.serviceAccountEmail)",message="serviceAccountEmail is a field of gcpServiceAccount only",fieldPath=".serviceAccountEmail",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type in ['cloudSql','disk'] || !has(self.config)",message="config is a field of cloudSql and disk only",fieldPath=".config",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'cloudSql' || (has(self.config) && has(self.config.cloudSqlConnectionName))",message="config.cloudSqlConnectionName is required for cloudSql",fieldPath=".config.cloudSqlConnectionName",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.type != 'cloudSql' || (has(self.config) && has(self.config.cloudSqlDatabasePort))",message="config.cloudSqlDatabasePort is required for cloudSql",fieldPath=".config.cloudSqlDatabasePort",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.type != 'cloudSql' || (has(self.config) && has(self.config.cloudSqlServiceAccount))",message="config.cloudSqlServiceAccount is required for cloudSql",fieldPath=".config.cloudSqlServiceAccount",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.type != 'disk' || (has(self.config) && has(self.config.diskName))",message="config.diskName is required for disk",fieldPath=".config.diskName",reason=FieldValueRequired
// +kubebuilder:validation:XValidation:rule="self.type != 'disk' || !has(self.config) || !has(self.config.cloudSqlConnectionName)",message="config.cloudSqlConnectionName is a field of cloudSql only",fieldPath=".config.cloudSqlConnectionName",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'disk' || !has(self.config) || !has(self.config.cloudSqlDatabasePort)",message="config.cloudSqlDatabasePort is a field of cloudSql only",fieldPath=".config.cloudSqlDatabasePort",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'disk' || !has(self.config) || !has(self.config.cloudSqlServiceAccount)",message="config.cloudSqlServiceAccount is a field of cloudSql only",fieldPath=".config.cloudSqlServiceAccount",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'disk' || !has(self.config) || !has(self.config.ipType)",message="config.ipType is a field of cloudSql only",fieldPath=".config.ipType",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'disk' || !has(self.config) || !has(self.config.autoIamAuthn)",message="config.autoIamAuthn is a field of cloudSql only",fieldPath=".config.autoIamAuthn",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'cloudSql' || !has(self.config) || !has(self.config.diskName)",message="config.diskName is a field of disk only",fieldPath=".config.diskName",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'cloudSql' || !has(self.config) || !has(self.config.mountPath)",message="config.mountPath is a field of disk only",fieldPath=".config.mountPath",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'cloudSql' || !has(self.config) || !has(self.config.readOnly)",message="config.readOnly is a field of disk only",fieldPath=".config.readOnly",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'cloudSql' || !has(self.config) || !has(self.config.subPath)",message="config.subPath is a field of disk only",fieldPath=".config.subPath",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type != 'cloudSql' || !has(self.config) || !has(self.config.fsGroup)",message="config.fsGroup is a field of disk only",fieldPath=".config.fsGroup",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule="self.type == 'awsRole' || !has(self.create)",message="create is a field of awsRole only",fieldPath=".create",reason=FieldValueForbidden
// +kubebuilder:validation:XValidation:rule=`!has(self.create) || !has(self.role) || self.role.matches(r'^[\w+=.@-]{1,64}$')`,message="must be a base name of at most 64 letters, digits and +=.@-_ where the role is created, not an ARN",fieldPath=".role",reason=FieldValueInvalid
type Connection struct {
	// Type of the connection.
	Type ConnectionType `json:"type"`

	// Role is the AWS IAM role that the service's pods assume: its name, for a
	// role of the cluster's account, or its ARN. (awsRole)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^(arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]{1,512}/)?[\w+=,.@-]{1,64}|[\w+=,.@-]{1,64})$')`,message="must be a role name of at most 64 letters, digits and +=,.@-_, or a role ARN such as arn:aws:iam::123456789012:role/name"
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
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]{1,512}/)?[\w+=,.@-]{1,64}$')`,message="must be a role ARN such as arn:aws:iam::123456789012:role/name"
	TargetRoleARN string `json:"targetRoleArn,omitempty"`

	// IdentityName is the name of the Azure user-assigned managed identity.
	// (azureManagedIdentity)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}$')`,message="must be 3 to 128 letters, digits, - and _, the first one a letter or digit"
	IdentityName string `json:"identityName,omitempty"`

	// ResourceGroup is the resource group of the identity.
	// (azureManagedIdentity)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=90
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[\w().-]{0,89}[\w()-]$')`,message="must be at most 90 letters, digits and ._()-, not ending in a dot"
	ResourceGroup string `json:"resourceGroup,omitempty"`

	// SubscriptionID is the subscription of the identity. Defaults to the
	// cluster's. (azureManagedIdentity)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')`,message="must be a UUID"
	SubscriptionID string `json:"subscriptionId,omitempty"`

	// ServiceAccountEmail is the Google service account that the service's pods
	// act as. (gcpServiceAccount)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=127
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[a-z0-9][a-z0-9-]{4,62}@[a-z0-9.-]+\.gserviceaccount\.com$')`,message="must be a service account e-mail such as name@project.iam.gserviceaccount.com"
	ServiceAccountEmail string `json:"serviceAccountEmail,omitempty"`

	// Config of a cloudSql or disk connection.
	//
	// +optional
	Config *Config `json:"config,omitempty"`
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

// A Statement of an IAM policy. Its elements are left to AWS.
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
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z0-9][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]:[a-z0-9-]+:[a-z][a-z0-9-]{0,97}$')`,message="must be project:region:instance, as Cloud SQL shows it"
	CloudSQLConnectionName string `json:"cloudSqlConnectionName,omitempty"`

	// CloudSQLDatabasePort is the port on 127.0.0.1 at which the service's
	// containers reach the database. (cloudSql)
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self != 9801",message="the proxy's own health checks listen on this port; use another"
	CloudSQLDatabasePort int32 `json:"cloudSqlDatabasePort,omitempty"`

	// CloudSQLServiceAccount is the Google service account that connects to
	// the instance: its e-mail, or its id in the cluster's project. (cloudSql)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=127
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([a-z][a-z0-9-]{4,28}[a-z0-9]|[a-z0-9][a-z0-9-]{4,62}@[a-z0-9.-]+\.gserviceaccount\.com)$')`,message="must be a service account id in the cluster's project, or its e-mail"
	CloudSQLServiceAccount string `json:"cloudSqlServiceAccount,omitempty"`

	// IPType says over which address of the instance the proxy connects.
	// Defaults to Public. (cloudSql)
	//
	// +optional
	// +kubebuilder:validation:Enum=Public;Private;PSC
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
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	DiskName string `json:"diskName,omitempty"`

	// MountPath is where the disk is mounted. Defaults to /data/<diskName>.
	// (disk)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^(/([^./:\x00-\x1f\x7f]|\.[^./:\x00-\x1f\x7f]|\.\.[^/:\x00-\x1f\x7f])[^/:\x00-\x1f\x7f]*)+$')`,message="must be an absolute path below /, without . and .. elements, double or trailing slashes, and colons"
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'^/(bin|boot|dev|etc|lib|lib64|proc|root|run|sbin|sys|usr|var/run|var/lib/kubelet)(/|$)')`,message="is a system directory; mount the disk elsewhere, such as /data"
	MountPath string `json:"mountPath,omitempty"`

	// ReadOnly mounts the disk read-only. (disk)
	//
	// +optional
	ReadOnly *bool `json:"readOnly,omitempty"`

	// SubPath is the folder of the disk that is mounted. (disk)
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^([^./:\x00-\x1f\x7f]|\.[^./:\x00-\x1f\x7f]|\.\.[^/:\x00-\x1f\x7f])[^/:\x00-\x1f\x7f]*(/([^./:\x00-\x1f\x7f]|\.[^./:\x00-\x1f\x7f]|\.\.[^/:\x00-\x1f\x7f])[^/:\x00-\x1f\x7f]*)*$')`,message="must be a relative path within the disk, without . and .. elements, double or trailing slashes, and colons"
	SubPath string `json:"subPath,omitempty"`

	// FSGroup owns the disk's files, where the pod sets no group itself.
	// (disk)
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	FSGroup *int64 `json:"fsGroup,omitempty"`
}
