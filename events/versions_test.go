package events

import (
	"strings"
	"testing"
)

// bellV1, bellV2, bellV3 and bell are the versions of an event that no log holds.
type (
	bellV1 struct{}
	bellV2 struct{}
	bellV3 struct{ bell }
	bell   struct{ Tone string }
)

func (bellV1) EventName() string { return "bell.rung.v1" }
func (bellV2) EventName() string { return "bell.rung.v2" }
func (bellV3) EventName() string { return "bell.rung.v3" }
func (bell) EventName() string   { return "bell.rung.v4" }
func (bell) EntityID() string    { return "b" }
func (bell) Check() error        { return nil }

func TestVersions_SayWhatWasForgotten(t *testing.T) {
	one, two := older(func(bellV1) bellV2 { return bellV2{} }), older(func(bellV2) bellV3 { return bellV3{} })
	for want, registered := range map[string][]kindOf{
		"v3 and v4 of lonja.bell.rung are both registered with kind; move the older one to older.go and register its function to v4 with older": {
			one, two, kind[bellV3](), kind[bell]()},
		"lonja.bell.rung.v1 is missing, which logs hold for ever; register its function to v2 with older": {
			two, kind[bellV3]()},
		"the function of lonja.bell.rung.v1 returns lonja.bell.rung.v4; let it return lonja.bell.rung.v2": {
			older(func(bellV1) bell { return bell{} }), kind[bell]()},
		"lonja.bell.rung.v1 becomes lonja.bell.rung.v2, which is not registered": {one},
		"events.bellV3 must be an Event if it is the newest version, and must not be one if it is older": {
			one, two, older(func(bellV3) bell { return bell{} }), kind[bell]()},
		"two kinds are called lonja.bell.rung.v4": {kind[bell](), kind[bell]()},
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if said, _ := recover().(string); !strings.Contains(said, want) {
					t.Errorf("it says %q", said)
				}
			}()
			index(registered...)
		})
	}
}
