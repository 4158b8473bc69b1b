// Package decoded counts what takes memory in a decoded message.
package decoded

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Values in maps and lists of a message, those that are messages themselves: others
// take as much as their size tells.
func Values(m proto.Message) int {
	n := 0
	_ = protorange.Range(m.ProtoReflect(), func(p protopath.Values) error {
		if k := p.Path.Index(-1).Kind(); k == protopath.ListIndexStep || k == protopath.MapIndexStep {
			if _, ok := p.Index(-1).Value.Interface().(protoreflect.Message); ok {
				n++
			}
		}
		return nil
	})
	return n
}
