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

// maxFaults bounds the reported errors of one body. Reading stops at the last one, so a
// body full of errors costs no more than one with a few.
const maxFaults = 8

var errTooManyFaults = errors.New("input: too many invalid fields")

// inspector validates a JSON text against a schema, member by member. It keeps no more of
// the text in memory than one scalar. Unlike the decoder it reports which item of a list is
// invalid and what is missing; but it sees numbers as floating point, so the decoder checks
// them, too.
type inspector struct {
	registry huma.Registry
	text     *jsontext.Decoder
	path     []byte // of the current value: .a[2].b
	faults   []problem.Fault
}

// inspect returns the invalid fields of a JSON text, nil if it is valid.
func inspect(registry huma.Registry, s *huma.Schema, raw []byte) []problem.Fault {
	i := &inspector{registry: registry, text: strictjson.NewDecoder(raw)}
	if err := i.value(s); err != nil && !errors.Is(err, errTooManyFaults) {
		_ = i.addFault("cannot be read") // impossible for valid JSON
	}
	return i.faults
}

func (i *inspector) value(s *huma.Schema) error {
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
		return nil // a number that no float can hold; the decoder rejects it
	}
	return i.scalar(s, v)
}

// scalar lets huma validate a value. For a list or an object in the wrong place, v is an
// empty one.
func (i *inspector) scalar(s *huma.Schema, v any) error {
	var found huma.ValidateResult
	huma.Validate(i.registry, s, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, v, &found)
	for _, err := range found.Errors {
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			if err := i.addFault(d.Message); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i *inspector) object(s *huma.Schema) error {
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
		err = i.within("."+strictjson.Truncate(name), func() error {
			member, known := s.Properties[name]
			switch {
			case !known:
				return errors.Join(i.addFault("is unknown"), i.text.SkipValue())
			case seen[name]:
				return errors.Join(i.addFault("is given twice"), i.text.SkipValue())
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
			if err := i.within("."+name, func() error { return i.addFault("is required") }); err != nil {
				return err
			}
		}
	}
	_, err := i.text.ReadToken()
	return err
}

func (i *inspector) array(s *huma.Schema) error {
	if _, err := i.text.ReadToken(); err != nil {
		return err
	}
	n := 0
	for ; i.text.PeekKind() != ']'; n++ {
		if s.MaxItems != nil && n == *s.MaxItems {
			return errors.Join(i.addFault(fmt.Sprintf("must have at most %d items", n)), errTooManyFaults)
		}
		if err := i.within("["+strconv.Itoa(n)+"]", func() error { return i.value(s.Items) }); err != nil {
			return err
		}
	}
	if s.MinItems != nil && n < *s.MinItems {
		if err := i.addFault(fmt.Sprintf("must have at least %d items", *s.MinItems)); err != nil {
			return err
		}
	}
	_, err := i.text.ReadToken()
	return err
}

// within calls do for a member or an item of the current value; step is its path.
func (i *inspector) within(step string, do func() error) error {
	outer := len(i.path)
	i.path = append(i.path, step...)
	err := do()
	i.path = i.path[:outer]
	return err
}

// addFault adds an error for the current value. It returns errTooManyFaults once there are
// maxFaults.
func (i *inspector) addFault(detail string) error {
	i.faults = append(i.faults, problem.Fault{Field: strings.TrimPrefix(string(i.path), "."), Detail: detail})
	if len(i.faults) == maxFaults {
		return errTooManyFaults
	}
	return nil
}
