package schema

import (
	"encoding/json"
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// builtIn has the kinds that the API server decodes into Go types. All of them
// are namespaced.
var builtIn = map[schema.GroupVersionKind]func() runtime.Object{
	corev1.SchemeGroupVersion.WithKind("ServiceAccount"):        func() runtime.Object { return &corev1.ServiceAccount{} },
	corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"): func() runtime.Object { return &corev1.PersistentVolumeClaim{} },
	corev1.SchemeGroupVersion.WithKind("Pod"):                   func() runtime.Object { return &corev1.Pod{} },
	appsv1.SchemeGroupVersion.WithKind("Deployment"):            func() runtime.Object { return &appsv1.Deployment{} },
	appsv1.SchemeGroupVersion.WithKind("StatefulSet"):           func() runtime.Object { return &appsv1.StatefulSet{} },
	appsv1.SchemeGroupVersion.WithKind("DaemonSet"):             func() runtime.Object { return &appsv1.DaemonSet{} },
	appsv1.SchemeGroupVersion.WithKind("ReplicaSet"):            func() runtime.Object { return &appsv1.ReplicaSet{} },
	batchv1.SchemeGroupVersion.WithKind("Job"):                  func() runtime.Object { return &batchv1.Job{} },
	batchv1.SchemeGroupVersion.WithKind("CronJob"):              func() runtime.Object { return &batchv1.CronJob{} },
}

// validateBuiltIn decodes an object of a built-in kind as strictly as the API
// server can. What the API server checks beyond types and names isn't in any
// module that can be imported without all of Kubernetes.
func validateBuiltIn(u *unstructured.Unstructured, into runtime.Object) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaAccessor(u, true, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))

	data, err := json.Marshal(u.Object)
	if err != nil {
		return append(errs, field.InternalError(nil, err))
	}

	strict, err := kjson.UnmarshalStrict(data, into)
	for _, e := range strict {
		path := ""
		if fe, ok := errors.AsType[kjson.FieldError](e); ok {
			path = fe.FieldPath()
		}

		errs = append(errs, field.Forbidden(field.NewPath(path), e.Error()))
	}

	if err != nil {
		path := ""
		if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			path = te.Field
		}

		errs = append(errs, field.TypeInvalid(field.NewPath(path), "", err.Error()))
	}

	return errs
}
