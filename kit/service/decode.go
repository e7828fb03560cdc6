package service

import (
	"errors"

	"lonja/kit/errs"
	"lonja/kit/strictjson"
)

// decodeStrictly decodes the JSON of a command or query; see package strictjson. The error is
// Invalid, and names the field or the place in the text. An empty payload is an empty object.
func decodeStrictly[T any](payload []byte) (v T, err error) {
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	err = strictjson.Decode(payload, &v)
	var broken *strictjson.SyntaxError
	if errors.As(err, &broken) {
		err = errs.New(errs.Invalid, "the body is %v", broken)
	}
	return v, err
}
