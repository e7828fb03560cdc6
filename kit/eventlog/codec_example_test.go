package eventlog_test

import (
	"fmt"

	"lonja/kit/eventlog"
)

// LampLit says that a lamp was lit.
type LampLit struct {
	Lamp string `json:"lamp"`
}

func (LampLit) EventName() string  { return "lamp.lit.v1" }
func (e LampLit) EntityID() string { return e.Lamp }
func (LampLit) Check() error       { return nil }

func ExampleNewCodec() {
	codec := eventlog.NewCodec("house", LampLit{})
	e := LampLit{Lamp: "kitchen"}
	data, err := codec.Encode(e)
	fmt.Println(codec.Type(e), codec.Subject(e), string(data), err)

	read, err := codec.Decode("house.lamp.lit.v1", data)
	fmt.Println(read == e, err)

	_, err = codec.Encode(LampLit{Lamp: "kitchen.*"}) // would be on the subjects of other lamps, too
	fmt.Println(err)
	// Output:
	// house.lamp.lit.v1 events.lamp.kitchen.lit {"lamp":"kitchen"} <nil>
	// true <nil>
	// house.lamp.lit.v1: invalid: entity id must have no spaces and none of . * >
}
