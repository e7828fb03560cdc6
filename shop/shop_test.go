package shop_test

import (
	"os"
	"slices"
	"testing"

	"lonja/services/identity"
	"lonja/shop"
)

func TestServices_AreThoseInTheFolder(t *testing.T) {
	folders, err := os.ReadDir("../services")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range folders {
		if f.IsDir() {
			names = append(names, f.Name())
		}
	}
	if !slices.Equal(shop.Names(), names) {
		t.Errorf("the shop has %v, the folder services has %v", shop.Names(), names)
	}
	config := shop.Config{Identity: identity.Config{AdminPassword: "correct horse battery"}}
	for i, s := range shop.All(config) {
		if s.Name != shop.Names()[i] {
			t.Errorf("service %d is %s, want %s", i, s.Name, shop.Names()[i])
		}
	}
	for name, construct := range shop.Services(config) {
		if one, other := construct(), construct(); one.Name != name || one == other {
			t.Errorf("%s constructs %s, at %p and %p", name, one.Name, one, other)
		}
	}
}
