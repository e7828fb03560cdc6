package service

import (
	"errors"

	"lonja/kit/errs"
	"lonja/kit/strictjson"
)

// decodeStrictly decodes the JSON of a command or query; see strictjson. What is
// wrong is an Invalid refusal that names the field, or says where the text is no
// JSON. An empty payload is an empty object.
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
