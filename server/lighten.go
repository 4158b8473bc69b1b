package server

import (
	"bufio"
	"encoding/binary"
	"io"
	"slices"

	"github.com/crossplane/function-sdk-go/errors"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// errTooLarge is a message that stays too large without what it can do without.
var errTooLarge = errors.New("too large")

const (
	// longestName that is looked at of what was asked for.
	longestName = 1 << 10

	// largestPolicy of a claim that is read in a request that is too large, in bytes.
	// IAM takes 6,144 characters, which are hardly more in a request, unless nearly all
	// of them are quotation marks.
	largestPolicy = 12 << 10

	// largestOfMany policies, where they hold too many values together.
	largestOfMany = 2 << 10

	// deepest field that is looked for in a claim.
	deepest = 64
)

// A lightener leaves out of a request what the function can do without, while it
// arrives. What a team's workloads hold, a policy that IAM wouldn't take, or how much
// the API server and the providers write into what was composed would otherwise decide
// whether its claim can be read, and so whether what it was granted can be taken back.
type lightener struct {
	// required are the fields that hold what the function asked for, by the name that
	// it asked with: by their number the layout of what is in them.
	required map[protowire.Number]*layout

	// dispensable says whether the function can do without what it asked for by a
	// name, and unread of which fields of an object it always does.
	dispensable func(name string) bool
	unread      func(path []string, bytes int) (unread, within bool)

	// observed, composite and composed are the numbers of the fields that hold the
	// claim and what it has composed, and state, resource and object the layouts of
	// what is in them.
	observed, composite, composed protowire.Number
	state, resource, object       *layout
}

func newLightener(request protoreflect.MessageDescriptor, dispensable func(string) bool, unread func([]string, int) (bool, bool)) lightener {
	number := func(m protoreflect.MessageDescriptor, name protoreflect.Name) protowire.Number {
		return m.Fields().ByName(name).Number()
	}
	observed := request.Fields().ByName("observed")
	composite := observed.Message().Fields().ByName("composite")
	ls := layouts{}
	required := map[protowire.Number]*layout{}
	for _, name := range []protoreflect.Name{"required_resources", "extra_resources"} {
		f := request.Fields().ByName(name)
		required[f.Number()] = ls.of(f.Message())
	}
	return lightener{
		required:    required,
		dispensable: dispensable,
		unread:      unread,
		observed:    observed.Number(),
		composite:   composite.Number(),
		composed:    number(observed.Message(), "resources"),
		state:       ls.of(observed.Message()),
		resource:    ls.of(composite.Message()),
		object:      ls.of(composite.Message().Fields().ByName("resource").Message()),
	}
}

// read a request of a size, and append it without what is dispensable, of which it
// returns the bytes, and without policies of more bytes than a number. It fails with
// errTooLarge rather than append more than most.
func (l lightener) read(from io.Reader, size int, to []byte, most, policy int) (message []byte, left int, err error) {
	r := &lightening{lightener: l, in: bufio.NewReaderSize(from, longestName+2*binary.MaxVarintLen64), most: most, policy: policy}
	message, err = r.fields(to, size, func(to []byte, number protowire.Number, n int) ([]byte, error) {
		switch required := l.required[number]; {
		case required != nil && l.dispensable(r.name(n)):
			return to, r.leave(n)
		case required != nil:
			at := []string{"required", r.name(n)}
			return r.message(to, number, n, func(to []byte, n int) ([]byte, error) { return r.part(to, n, required, at) })
		case number == l.observed:
			return r.message(to, number, n, r.observe)
		default:
			return r.copy(to, number, n)
		}
	})
	return message, r.left, err
}

// A lightening of one request.
type lightening struct {
	lightener

	in     *bufio.Reader
	most   int
	policy int
	left   int
}

// fields of a message of a size, each that has bytes by what is done with it. Others
// are copied.
func (r *lightening) fields(to []byte, size int, field func(to []byte, number protowire.Number, n int) ([]byte, error)) ([]byte, error) {
	for size > 0 {
		tag, k, err := r.varint(size)
		if err != nil {
			return nil, err
		}
		size -= k
		number, typ := protowire.DecodeTag(tag)
		if typ != protowire.BytesType {
			if to, k, err = r.scalar(protowire.AppendTag(to, number, typ), typ, size); err != nil {
				return nil, err
			}
			size -= k
			continue
		}
		if !number.IsValid() {
			return nil, errors.New("it isn't a request of a function")
		}
		n, k, err := r.varint(size)
		if size -= k; err != nil || n > uint64(max(0, size)) {
			return nil, errors.New("a field of it is longer than itself")
		}
		size -= int(n)                                       //nolint:gosec // It was compared.
		if to, err = field(to, number, int(n)); err != nil { //nolint:gosec // It was compared.
			return nil, err
		}
	}
	return to, nil
}

// observe the claim without its large policies, and it and what it has composed without
// what isn't read of them.
func (r *lightening) observe(to []byte, size int) ([]byte, error) {
	return r.fields(to, size, func(to []byte, number protowire.Number, n int) ([]byte, error) {
		switch number {
		case r.composite:
			return r.message(to, number, n, func(to []byte, n int) ([]byte, error) {
				return r.claim(to, n, r.resource, []string{"composite"}, deepest)
			})
		case r.composed:
			entry, at := (*r.state)[number].of, []string{"composed", r.name(n)}
			return r.message(to, number, n, func(to []byte, n int) ([]byte, error) { return r.part(to, n, entry, at) })
		default:
			return r.copy(to, number, n)
		}
	})
}

// part of an object that is at a path of fields, without what isn't read of it. The
// items of a list are at the path of the list.
func (r *lightening) part(to []byte, size int, in *layout, path []string) ([]byte, error) {
	return r.fields(to, size, func(to []byte, number protowire.Number, n int) ([]byte, error) {
		if int(number) >= len(*in) || (*in)[number].of == nil {
			return r.copy(to, number, n)
		}
		at := path
		if in == r.object {
			at = append(slices.Clip(path), r.name(n))
			switch unread, within := r.unread(at, n); {
			case unread:
				return to, r.leave(n)
			case !within:
				return r.copy(to, number, n)
			}
		}
		of := (*in)[number].of
		return r.message(to, number, n, func(to []byte, n int) ([]byte, error) { return r.part(to, n, of, at) })
	})
}

// claim at a path of fields, without what isn't read of it, and without its large
// policies, of which the function then reads how large they are.
func (r *lightening) claim(to []byte, size int, in *layout, path []string, depth int) ([]byte, error) {
	return r.fields(to, size, func(to []byte, number protowire.Number, n int) ([]byte, error) {
		if depth == 0 || int(number) >= len(*in) || (*in)[number].of == nil {
			return r.copy(to, number, n)
		}
		of, at := (*in)[number].of, path
		if in == r.object {
			at = append(slices.Clip(path), r.name(n))
			switch unread, within := r.unread(at, n); {
			case unread:
				return to, r.leave(n)
			case within:
				return r.message(to, number, n, func(to []byte, n int) ([]byte, error) { return r.part(to, n, of, at) })
			}
		}
		switch {
		case n <= r.policy && len(at) > 1:
			return r.copy(to, number, n)
		case in == r.object && at[len(at)-1] == "policy":
			to = protowire.AppendTag(to, number, protowire.BytesType)
			to = protowire.AppendBytes(to, policyTooLarge)
			return to, r.leave(n)
		default:
			return r.message(to, number, n, func(to []byte, n int) ([]byte, error) { return r.claim(to, n, of, at, depth-1) })
		}
	})
}

// policyTooLarge is the entry of an object that stands for a policy that is left
// out. It isn't one, so whoever reads it must refuse it.
var policyTooLarge = func() []byte {
	b, err := proto.Marshal(structpb.NewStringValue("too large to be read"))
	if err != nil {
		panic(err) // It has nothing that could fail.
	}
	entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "policy")
	return protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), b)
}()

// message of a field, whose own size is known only afterwards.
func (r *lightening) message(to []byte, number protowire.Number, size int, content func(to []byte, size int) ([]byte, error)) ([]byte, error) {
	b, err := content(nil, size)
	if err != nil {
		return nil, err
	}
	if len(to)+len(b) > r.most+prefixBytes {
		return nil, errTooLarge
	}
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), b), nil
}

// copy a field as it is.
func (r *lightening) copy(to []byte, number protowire.Number, size int) ([]byte, error) {
	to = protowire.AppendVarint(protowire.AppendTag(to, number, protowire.BytesType), uint64(size)) //nolint:gosec // A size isn't negative.
	at := len(to)
	if at+size > r.most+prefixBytes {
		return nil, errTooLarge
	}
	to = append(to, make([]byte, size)...)
	_, err := io.ReadFull(r.in, to[at:])
	return to, errors.Wrap(err, "cannot read to its end")
}

// scalar of a field that has no bytes, and how many it takes.
func (r *lightening) scalar(to []byte, typ protowire.Type, within int) ([]byte, int, error) {
	var n int
	switch typ {
	case protowire.VarintType:
		v, k, err := r.varint(within)
		return protowire.AppendVarint(to, v), k, err
	case protowire.Fixed32Type:
		n = 4
	case protowire.Fixed64Type:
		n = 8
	default:
		return nil, 0, errors.New("it isn't a request of a function")
	}
	if n > within {
		return nil, 0, errors.New("a field of it is longer than itself")
	}
	at := len(to)
	to = append(to, make([]byte, n)...)
	_, err := io.ReadFull(r.in, to[at:])
	return to, n, errors.Wrap(err, "cannot read to its end")
}

// leave out what comes next.
func (r *lightening) leave(size int) error {
	r.left += size
	_, err := r.in.Discard(size)
	return errors.Wrap(err, "cannot read to its end")
}

// varint that comes next, within so many bytes, and how many it takes.
func (r *lightening) varint(within int) (v uint64, n int, err error) {
	b, _ := r.in.Peek(min(within, binary.MaxVarintLen64)) // What can't be peeked can't be read either.
	if v, n = protowire.ConsumeVarint(b); n < 0 {
		return 0, 0, errors.New("it ends early")
	}
	_, err = r.in.Discard(n)
	return v, n, err //nolint:wrapcheck // It was peeked.
}

// name of the entry of a map that comes next and has so many bytes: its key, which
// is written first. Empty: it has none, or one that is too long.
func (r *lightening) name(size int) string {
	start, _ := r.in.Peek(min(size, longestName)) // What can't be peeked can't be read either.
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
