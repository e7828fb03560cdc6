package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"lonja/internal/refusal"
)

// decodeStrictly decodes the JSON of a command or query: one value, no unknown
// fields, every number in range. What is wrong is an Invalid refusal that names
// the field. An empty payload is an empty object.
func decodeStrictly[T any](payload []byte) (T, error) {
	var v T
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, explain(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, refusal.New(refusal.Invalid, "the body must be one JSON object and nothing after it")
	}
	return v, nil
}

func explain(err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return refusal.Of(jsonPath(typ.Field), "cannot be a JSON %s", typ.Value)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return refusal.Of(strings.Trim(field, `"`), "is no field of this request")
	}
	return refusal.New(refusal.Invalid, "the body is not JSON: %v", err)
}

// jsonPath is the path of a field as its sender knows it: without the names of
// Go structs that are embedded, which begin with a capital.
func jsonPath(goPath string) string {
	var path []string
	for part := range strings.SplitSeq(goPath, ".") {
		if part != "" && (part[0] < 'A' || part[0] > 'Z') {
			path = append(path, part)
		}
	}
	return strings.Join(path, ".")
}
