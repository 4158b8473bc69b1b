package server

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/crossplane/function-sdk-go/errors"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// errTooLarge is a message that stays too large without what it can do without.
var errTooLarge = errors.New("too large")

// A lightener leaves out of a request what the function can do without, while it
// arrives. What a team's workloads hold would otherwise decide whether its claim can be
// read, and so whether what it was granted can be taken back.
type lightener struct {
	// required are the numbers of the fields that hold what the function asked for,
	// by the name that it asked with.
	required map[protowire.Number]bool

	// dispensable says whether the function can do without what it asked for by a
	// name.
	dispensable func(name string) bool
}

// longestName that is looked at of what was asked for.
const longestName = 1 << 10

func newLightener(request protoreflect.MessageDescriptor, dispensable func(string) bool) lightener {
	l := lightener{required: map[protowire.Number]bool{}, dispensable: dispensable}
	for _, name := range []protoreflect.Name{"required_resources", "extra_resources"} {
		l.required[request.Fields().ByName(name).Number()] = true
	}
	return l
}

// read a request, and append it without what is dispensable, of which it returns the
// bytes. It fails with errTooLarge rather than append more than most bytes.
func (l lightener) read(from io.Reader, to []byte, most int) (message []byte, left int, err error) {
	in, start := bufio.NewReaderSize(from, longestName+2*binary.MaxVarintLen64), len(to)
	for {
		tag, err := binary.ReadUvarint(in)
		if errors.Is(err, io.EOF) {
			return to, left, nil
		}
		number, typ := protowire.DecodeTag(tag)
		if err != nil || typ != protowire.BytesType || !number.IsValid() {
			// A request has only fields that are messages.
			return nil, left, errors.New("it isn't a request of a function")
		}
		size, err := binary.ReadUvarint(in)
		if err != nil || size > 1<<31 {
			return nil, left, errors.New("a field of it has no length")
		}
		n := int(size)
		if l.required[number] && l.dispensable(nameOf(in, n)) {
			if _, err := in.Discard(n); err != nil {
				return nil, left, errors.Wrap(err, "cannot read to its end")
			}
			left += n
			continue
		}
		to = protowire.AppendVarint(protowire.AppendTag(to, number, typ), size)
		at := len(to)
		if at+n-start > most {
			return nil, left, errTooLarge
		}
		to = append(to, make([]byte, n)...)
		if _, err := io.ReadFull(in, to[at:]); err != nil {
			return nil, left, errors.Wrap(err, "cannot read to its end")
		}
	}
}

// nameOf the entry of a map that comes next and has so many bytes: its key, which
// is written first. Empty: it has none, or one that is too long.
func nameOf(in *bufio.Reader, size int) string {
	start, _ := in.Peek(min(size, longestName)) // What can't be peeked can't be read either.
	number, typ, n := protowire.ConsumeTag(start)
	if n < 0 || number != 1 || typ != protowire.BytesType {
		return ""
	}
	name, n := protowire.ConsumeString(start[n:])
	if n < 0 {
		return ""
	}
	return name
}
