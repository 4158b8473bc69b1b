package admit

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// An operation of a JSON patch (RFC 6902). All that an injection does to a pod is to
// add: an addition to what is there replaces it.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// escape a field's name for a path (RFC 6901).
var escape = strings.NewReplacer("~", "~0", "/", "~1")

// patch that makes of a value another one, which has all fields of the first. Unlike
// gomodules.xyz/jsonpatch, it neither encodes and decodes a pod of a megabyte anew,
// nor depends on the order of a map.
func patch(operations []operation, path string, before, after any) []operation {
	if object, ok := after.(map[string]any); ok {
		if was, ok := before.(map[string]any); ok {
			for _, k := range slices.Sorted(maps.Keys(object)) {
				field := path + "/" + escape.Replace(k)
				if v, ok := was[k]; ok {
					operations = patch(operations, field, v, object[k])
				} else {
					operations = append(operations, operation{"add", field, object[k]})
				}
			}
			return operations
		}
	}
	if list, ok := after.([]any); ok {
		if was, ok := before.([]any); ok && len(was) == len(list) {
			for i := range list {
				operations = patch(operations, path+"/"+strconv.Itoa(i), was[i], list[i])
			}
			return operations
		}
	}
	if reflect.DeepEqual(before, after) {
		return operations
	}
	return append(operations, operation{"add", path, after})
}
