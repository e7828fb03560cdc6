package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// object is a JSON object whose values are not decoded. Its members keep their order.
type object []member

type member struct {
	name  string
	value []byte
}

// parseObject returns the members of an object. It is an error if data holds anything but one
// object, or if a name occurs twice. The values are parts of data.
func parseObject(data []byte) (o object, err error) {
	// The decoder would remember the names of inner objects, too, which costs more than all the rest.
	d := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
	if first, err := d.ReadToken(); err != nil {
		return nil, err
	} else if first.Kind() != '{' {
		return nil, errors.New("it is not a JSON object")
	}
	for o = make(object, 0, 16); d.PeekKind() != '}'; {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		m := member{name: name.String()}
		if slices.ContainsFunc(o, func(before member) bool { return before.name == m.name }) {
			return nil, fmt.Errorf("the member %q occurs twice", m.name)
		}
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		end := d.InputOffset() // value itself is valid until the next call only
		m.value = data[end-int64(len(value)) : end]
		o = append(o, m)
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.Join(errors.New("something follows the JSON object"), err)
	}
	return o, nil
}

// text returns the object as JSON.
func (o object) text() []byte {
	size := 2
	for _, m := range o {
		size += len(m.name) + len(m.value) + 4
	}
	text := append(make([]byte, 0, size), '{')
	for i, m := range o {
		if i > 0 {
			text = append(text, ',')
		}
		text, _ = jsontext.AppendQuote(text, m.name) // the name is valid UTF-8, because it was decoded
		text = append(append(text, ':'), m.value...)
	}
	return append(text, '}')
}
