package keyring_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"lonja/kit/keyring"
)

func TestReadUsage_CountsTheNewestKeyOfEachOwner(t *testing.T) {
	f := setUp(t)
	usage := func() keyring.Usage {
		t.Helper()
		u, err := keyring.ReadUsage(t.Context(), f.log.JS)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	ids := func() []string {
		t.Helper()
		ids, err := keyring.KEKIDs(f.file)
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if u := usage(); len(u.ByKEK) != 0 || u.Destroyed != 0 {
		t.Errorf("of an empty stream: %+v", u)
	}
	for n := range 300 { // more than one pull
		f.make(f.ring(), fmt.Sprint("usr_", n))
	}
	if err := f.ring().Destroy(t.Context(), "usr_7"); err != nil {
		t.Fatal(err)
	}
	first := ids()[0]
	if u := usage(); !maps.Equal(u.ByKEK, map[string]int{first: 299}) || u.Destroyed != 1 {
		t.Errorf("%+v", u)
	}

	second, err := keyring.AddKEK(f.file)
	if err != nil || !slices.Equal(ids(), []string{second, first}) {
		t.Fatalf("the file has %v: %v", ids(), err)
	}
	f.make(f.ring(), "usr_new")
	if u := usage(); !maps.Equal(u.ByKEK, map[string]int{first: 299, second: 1}) {
		t.Errorf("%+v", u)
	}
	if err := f.ring().Rewrap(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if u := usage(); !maps.Equal(u.ByKEK, map[string]int{second: 300}) || u.Destroyed != 1 {
		t.Errorf("%+v", u)
	}
}
