package server

import (
	"github.com/crossplane/function-sdk-go/errors"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// bytesPerValue of a request, at least, on the average of the largest request.
// Objects as Kubernetes has them take 22 to 30, their managed fields included.
const bytesPerValue = 18

// leastPerValue is how many bytes the smallest value takes in a request: its tag,
// and that it is empty.
const leastPerValue = 2

// maxDepth that a message may be nested, as the proto package has it.
const maxDepth = protowire.DefaultRecursionLimit

// A boundedCodec refuses requests that would take far more memory than their size
// tells: an empty list takes 4 bytes in a request, and 170 once it is decoded.
type boundedCodec struct {
	encoding.CodecV2

	maxValues int
}

// newBoundedCodec for requests of the supplied size at most.
func newBoundedCodec(maxBytes int) boundedCodec {
	return boundedCodec{CodecV2: encoding.GetCodecV2(grpcproto.Name), maxValues: maxBytes / bytesPerValue}
}

// Unmarshal a message that doesn't hold too many values.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok || data.Len() <= leastPerValue*c.maxValues {
		return c.CodecV2.Unmarshal(data, v) //nolint:wrapcheck // There must be no difference otherwise.
	}
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	if n := values(buffer.ReadOnlyData(), m.ProtoReflect().Descriptor(), c.maxValues, maxDepth); n > c.maxValues {
		return errors.Errorf("cannot read a request of %d bytes: its maps and lists hold more than %d values, and so would take too much memory; split the composite resource into several, or start the function with a larger --max-recv-message-size", buffer.Len(), c.maxValues)
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{buffer}, v) //nolint:wrapcheck // There must be no difference otherwise.
}

// values in maps and lists of an encoded message, counted to one more than most,
// or a few. What can't be decoded holds none; who decodes it says what is wrong.
func values(b []byte, of protoreflect.MessageDescriptor, most, depth int) int {
	n := 0
	if depth == 0 {
		return n
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
		field := of.Fields().ByNumber(number)
		if field != nil && field.Message() != nil && typ == protowire.BytesType {
			if field.Cardinality() == protoreflect.Repeated {
				n++
			}
			content, _ := protowire.ConsumeBytes(b[tag:])
			n += values(content, field.Message(), most-n, depth-1)
		}
		b = b[tag+size:]
	}
	return n
}
