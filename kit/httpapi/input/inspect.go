package input

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"lonja/kit/httpapi/problem"
	"lonja/kit/strictjson"
)

// maxFaults is how many faults of one body are told. Reading ends with the
// last, so a body full of faults costs no more than one that has a few.
const maxFaults = 8

var errEnough = errors.New("enough faults were found")

// inspection compares a JSON text with its schema, member by member, and holds
// no more of it in memory than one value that is no list or object.
// Unlike the decoder it knows which item of a list is wrong and what is missing;
// but it sees numbers as floating point, so both have a say.
type inspection struct {
	registry huma.Registry
	text     *jsontext.Decoder
	path     []byte // of the value that is read: .a[2].b
	faults   []problem.Fault
}

// inspect returns what is wrong with a JSON text, or nothing.
func inspect(registry huma.Registry, s *huma.Schema, raw []byte) []problem.Fault {
	i := &inspection{registry: registry, text: strictjson.NewDecoder(raw)}
	if err := i.value(s); err != nil && !errors.Is(err, errEnough) {
		_ = i.fault("cannot be read") // nothing that is JSON
	}
	return i.faults
}

func (i *inspection) value(s *huma.Schema) error {
	for s.Ref != "" {
		s = i.registry.SchemaFromRef(s.Ref)
	}
	switch kind := i.text.PeekKind(); {
	case kind == '{' && s.Type == huma.TypeObject:
		return i.object(s)
	case kind == '[' && s.Type == huma.TypeArray:
		return i.array(s)
	case kind == '{':
		return errors.Join(i.scalar(s, map[string]any{}), i.text.SkipValue())
	case kind == '[':
		return errors.Join(i.scalar(s, []any{}), i.text.SkipValue())
	}
	raw, err := i.text.ReadValue()
	if err != nil {
		return err
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil // a number that no float can hold; the decoder says so
	}
	return i.scalar(s, v)
}

// scalar leaves it to huma what a value may be. Huma is shown an empty list or
// object in the place of one that does not belong there.
func (i *inspection) scalar(s *huma.Schema, v any) error {
	var found huma.ValidateResult
	huma.Validate(i.registry, s, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, v, &found)
	for _, err := range found.Errors {
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			if err := i.fault(d.Message); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *inspection) object(s *huma.Schema) error {
	if _, err := i.text.ReadToken(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i.text.PeekKind() != '}' {
		token, err := i.text.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		err = i.in("."+strictjson.Truncate(name), func() error {
			member, known := s.Properties[name]
			switch {
			case !known:
				return errors.Join(i.fault("is not known here"), i.text.SkipValue())
			case seen[name]:
				return errors.Join(i.fault("is given twice"), i.text.SkipValue())
			}
			seen[name] = true
			return i.value(member)
		})
		if err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(slices.Values(s.Required)) {
		if !seen[name] {
			if err := i.in("."+name, func() error { return i.fault("is required") }); err != nil {
				return err
			}
		}
	}
	_, err := i.text.ReadToken()
	return err
}

func (i *inspection) array(s *huma.Schema) error {
	if _, err := i.text.ReadToken(); err != nil {
		return err
	}
	n := 0
	for ; i.text.PeekKind() != ']'; n++ {
		if s.MaxItems != nil && n == *s.MaxItems {
			return errors.Join(i.fault(fmt.Sprintf("must have at most %d items", n)), errEnough)
		}
		if err := i.in("["+strconv.Itoa(n)+"]", func() error { return i.value(s.Items) }); err != nil {
			return err
		}
	}
	if s.MinItems != nil && n < *s.MinItems {
		if err := i.fault(fmt.Sprintf("must have at least %d items", *s.MinItems)); err != nil {
			return err
		}
	}
	_, err := i.text.ReadToken()
	return err
}

// in does something with a member, or an item, of the value that is read.
func (i *inspection) in(step string, do func() error) error {
	outer := len(i.path)
	i.path = append(i.path, step...)
	err := do()
	i.path = i.path[:outer]
	return err
}

// fault notes a fault of the value that is read. It is errEnough with the last
// that is told.
func (i *inspection) fault(detail string) error {
	i.faults = append(i.faults, problem.Fault{Field: strings.TrimPrefix(string(i.path), "."), Detail: detail})
	if len(i.faults) == maxFaults {
		return errEnough
	}
	return nil
}
