package server

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// bytesPerValue of a request, at least, on the average of the largest request.
// Objects as Kubernetes has them take 22 to 30, their managed fields included. What a
// value takes in memory has little to do with its size: an empty list takes 4
// bytes in a request, and 170 once it is decoded.
const bytesPerValue = 18

// leastPerValue is how many bytes the smallest value takes in a request: its tag,
// and that it is empty.
const leastPerValue = 2

// maxDepth that a message may be nested, as the proto package has it.
const maxDepth = protowire.DefaultRecursionLimit

// A layout of a message: its fields that are messages, by number. Protobuf's own
// descriptors would make counting as slow as decoding.
type layout []layoutField

type layoutField struct {
	// of the field's message, nil where it is none.
	of *layout

	// repeated in the message, as a list's items and a map's entries are.
	repeated bool
}

// layoutOf a message.
func layoutOf(m protoreflect.MessageDescriptor) *layout { return layouts{}.of(m) }

// layouts by the name of the message: some hold others of their own kind.
type layouts map[protoreflect.FullName]*layout

func (ls layouts) of(m protoreflect.MessageDescriptor) *layout {
	if l, ok := ls[m.FullName()]; ok {
		return l
	}
	l := &layout{}
	ls[m.FullName()] = l
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.Message() == nil {
			continue
		}
		if n := int(f.Number()) + 1; n > len(*l) {
			*l = append(*l, make(layout, n-len(*l))...)
		}
		(*l)[f.Number()] = layoutField{of: ls.of(f.Message()), repeated: f.Cardinality() == protoreflect.Repeated}
	}
	return l
}

// values in maps and lists of an encoded message, counted to one more than most,
// or a few; one that is nested too deeply holds too many. What can't be decoded
// otherwise holds none; who decodes it says what is wrong.
func (l layout) values(b []byte, most, depth int) int {
	n := 0
	if depth == 0 {
		return most + 1
	}
	for len(b) > 0 && n <= most {
		number, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return n
		}
		size := protowire.ConsumeFieldValue(number, typ, b[tag:])
		if size < 0 {
			return n
		}
		if typ == protowire.BytesType && int(number) < len(l) && l[number].of != nil {
			if l[number].repeated {
				n++
			}
			content, _ := protowire.ConsumeBytes(b[tag:])
			n += l[number].of.values(content, most-n, depth-1)
		}
		b = b[tag+size:]
	}
	return n
}
