package schema_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"lonja/kit/eventlog"
	"lonja/kit/schema"
)

// visited is an event with sealed fields.
type visited struct {
	eventlog.Sealed
	Guest string `json:"guest"`
	Name  string `json:"name,omitempty" minLength:"1" sealed:"true"`
	Phone string `json:"phone" sealed:"true"`
}

func TestSchema_OfASealedEventShowsWhatIsOnTheWire(t *testing.T) {
	data, err := schema.Document(reflect.TypeFor[visited](), "urn:example:visited", false, schema.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Properties map[string]huma.Schema `json:"properties"`
		Required   []string               `json:"required"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Properties) != 2 || got.Properties["guest"].Type != "string" {
		t.Errorf("the members are %+v", got.Properties)
	}
	sealed := got.Properties["sealed"]
	if sealed.Type != "object" || len(sealed.Properties) != 2 || !slices.Equal(sealed.Required, []string{"for", "data"}) {
		t.Errorf("the sealed member is %+v", sealed)
	}
	if !slices.Equal(got.Required, []string{"guest", "sealed"}) {
		t.Errorf("required are %q", got.Required)
	}
}

// A member called withheld is nothing special in other structs.
func TestSchema_OfOthersKeepsAllMembers(t *testing.T) {
	type payment struct {
		Withheld int `json:"withheld"`
	}
	s := schema.NewSet(schema.Config{}, "#/", false)
	s.Of(reflect.TypeFor[payment]())
	if made := s.All()["schema_test.payment"]; made == nil || made.Properties["withheld"] == nil || len(made.Required) != 1 {
		t.Errorf("got %+v", made)
	}
}
