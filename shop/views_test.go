package shop_test

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lonja/services/identity"
	"lonja/shop"
	"lonja/shop/shoptest"
)

// A view's file is named after a hash of its definition: the text of its tables, comments
// included, and what it reads. Under another name, every replica rebuilds the view from
// the first event. So these names change only when the rows do.
func TestViews_KeepTheirFiles(t *testing.T) {
	s, dir := shoptest.Start(t), t.TempDir()
	for _, svc := range shop.All(shop.Config{Identity: identity.Config{AdminPassword: "correct horse battery"}}) {
		s.Run(svc, "a", dir)
	}
	var got []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".db") {
			service, _, _ := strings.Cut(strings.TrimPrefix(path, dir+"/"), "/")
			got = append(got, service+": "+d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"catalog: shelf-b49e6849b933-1.db",
		"identity: accounts-2ee9f82d5873-1.db",
		"inventory: levels-d1cc5d0ebacb-1.db",
		"inventory: reservations-334005ecf531-1.db",
		"orders: book-8db35270157f-1.db",
		"orders: offers-dc2280dc1972-1.db",
		"payments: payments-a67d6709c36f-1.db",
		"payments: refunds-1f82c452b2f7-1.db",
		"receipts: receipts-6cdb43d70daf-1.db",
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the views' files are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
