package main

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lonja/client"
)

func TestPence(t *testing.T) {
	for in, want := range map[string]int64{
		"2.55": 255, "2.1": 210, "2.10": 210, "3": 300, "0": 0, "0.07": 7, ".5": 50, "5.": 500,
		"-11062.06": -1106206, "649.500": 64950, "99999999999.99": 9999999999999,
	} {
		if got, err := pence(in); err != nil || got != want {
			t.Errorf("pence(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-", "2.555", "1,5", "£2", "1e3", "--1", "+1", " 1", "NaN", "100000000000", strings.Repeat("9", 100)} {
		if got, err := pence(in); err == nil {
			t.Errorf("pence(%q) = %d; want an error", in, got)
		}
	}
}

func TestPounds(t *testing.T) {
	for in, want := range map[int64]string{0: "£0.00", 7: "£0.07", 255: "£2.55", -110: "-£1.10"} {
		if got := pounds(in); got != want {
			t.Errorf("pounds(%d) = %q; want %q", in, got, want)
		}
	}
}

func TestHeader(t *testing.T) {
	for name, c := range map[string]struct{ in, wrong string }{
		"empty file":     {"", "header"},
		"missing column": {"InvoiceNo,StockCode,Description,Quantity,UnitPrice\n", "CustomerID"},
		"byte order mark and another order": {
			"\ufeffCustomerID,InvoiceNo,Country,StockCode,Description,UnitPrice,Quantity\n17850,1,UK,11111,TIN,2.5,4\n", ""},
	} {
		lines, bad, err := readFile(strings.NewReader(c.in))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: error %v; want one that names %q", name, err, c.wrong)
			}
			continue
		}
		want := []line{{number: 2, invoice: "1", sku: "11111", name: "TIN", quantity: 4, price: 250, customer: "17850"}}
		if err != nil || len(bad) > 0 || !reflect.DeepEqual(lines, want) {
			t.Errorf("%s: %+v, rejected %v, %v", name, lines, bad, err)
		}
	}
}

func TestLinesThatAreNotCSV(t *testing.T) {
	file := "InvoiceNo,StockCode,Description,Quantity,UnitPrice,CustomerID\n" +
		"1,11111,T\"IN,4,2.5,17850\n" +
		"2,11111,\xff,4,2.5,17850\n"
	lines, bad, err := readFile(strings.NewReader(file))
	if err != nil || len(lines) != 1 || lines[0].name != "?" || len(bad) != 1 || bad[0].number != 2 {
		t.Errorf("read %+v, rejected %+v, %v", lines, bad, err)
	}
}

func planOf(t *testing.T, file string) *plan {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, bad, err := readFile(f)
	if err != nil {
		t.Fatal(err)
	}
	return makePlan(lines, bad)
}

func TestPlanOfADirtyFile(t *testing.T) {
	p := planOf(t, "testdata/dirty.csv")

	wantRejected := map[int]string{
		4:  notGoods,
		7:  noCustomer,
		8:  notSold,
		9:  noPrice,
		10: notGoods,
		11: notToken,
		12: "has a quantity that is not a whole number",
		13: "has a price that is not pounds and whole pence",
		14: "has another number of fields than the header",
		16: cancelPart,
		17: cancelNone,
		18: notGoods,
		19: addsBack,
	}
	rejected := map[int]string{}
	for _, r := range p.rejected {
		rejected[r.number] = r.reason
	}
	if !maps.Equal(rejected, wantRejected) {
		t.Errorf("rejected %v\nwant     %v", rejected, wantRejected)
	}

	used := 0
	for _, c := range p.customers {
		for _, o := range c.orders {
			used += len(o.lines) + len(o.cancellation)
		}
	}
	if p.read != 18 || used+len(p.rejected) != p.read {
		t.Errorf("read %d lines, used %d, rejected %d", p.read, used, len(p.rejected))
	}

	wantProducts := []product{
		{sku: "11111A", name: "BLUE TEAPOT WITH LID", price: 210, ordered: 11, returned: 5},
		{sku: "22222", name: `TIN, "LARGE"`, price: 300, ordered: 2},
	}
	for i, got := range p.products {
		if *got != wantProducts[i] {
			t.Errorf("product %+v; want %+v", *got, wantProducts[i])
		}
	}
}

func TestExpectedTotals(t *testing.T) {
	p := planOf(t, "testdata/dirty.csv")
	p.products[0].initial = client.Stock{OnHand: 100 + 11, Reserved: 3}
	p.products[1].initial = client.Stock{OnHand: 2}
	got := p.expected()
	want := totals{
		Paid:      sum{1, 6*210 + 2*300},
		Cancelled: sum{1, 5 * 210},
		OnHand:    100 + 5,
		Reserved:  3,
	}
	if got != want {
		t.Errorf("expected() = %+v; want %+v", got, want)
	}
	if got, want := p.atFilePrices(), int64(6*255+2*300+5*210); got != want {
		t.Errorf("atFilePrices() = %d; want %d", got, want)
	}
}

func TestPriceOfSeveral(t *testing.T) {
	for name, c := range map[string]struct {
		prices []int64
		want   int64
	}{
		"one":                     {[]int64{255}, 255},
		"the most usual":          {[]int64{255, 210, 255}, 255},
		"the most usual, later":   {[]int64{210, 255, 255, 210, 210}, 210},
		"two as usual: the later": {[]int64{255, 210, 255, 210}, 210},
		"all different: the last": {[]int64{255, 210, 195}, 195},
	} {
		var lines []line
		for i, price := range c.prices {
			lines = append(lines, line{number: i, sku: "11111", quantity: 1, price: price})
		}
		if got := newProduct("11111", lines).price; got != c.want {
			t.Errorf("%s: %d; want %d", name, got, c.want)
		}
	}
}

// sale is an invoice, or a cancellation, of customer 17850: SKUs and pieces.
func sale(invoice string, items ...any) (lines []line) {
	for i := 0; i < len(items); i += 2 {
		lines = append(lines, line{invoice: invoice, sku: items[i].(string), quantity: int64(items[i+1].(int)), price: 100, customer: "17850"})
	}
	return lines
}

func TestMatchingCancellations(t *testing.T) {
	a, b := "11111", "22222"
	for name, c := range map[string]struct {
		file      [][]line
		cancelled []string
		reason    string // of what is left
	}{
		"the same pieces": {
			file: [][]line{sale("1", a, 6, b, 2), sale("C2", b, -2, a, -6)}, cancelled: []string{"1"}},
		"the same pieces on other lines": {
			file: [][]line{sale("1", a, 4, a, 2), sale("C2", a, -6)}, cancelled: []string{"1"}},
		"some pieces": {
			file: [][]line{sale("1", a, 6, b, 2), sale("C2", a, -6)}, reason: cancelPart},
		"more pieces": {
			file: [][]line{sale("1", a, 6), sale("C2", a, -7)}, reason: cancelNone},
		"a later order": {
			file: [][]line{sale("C1", a, -6), sale("2", a, 6)}, reason: cancelNone},
		"the latest of two": {
			file: [][]line{sale("1", a, 6), sale("2", a, 6), sale("C3", a, -6)}, cancelled: []string{"2"}},
		"a whole order rather than a part of a later one": {
			file: [][]line{sale("1", a, 6), sale("2", a, 9), sale("C3", a, -6)}, cancelled: []string{"1"}},
		"twice, of two": {
			file: [][]line{sale("1", a, 6), sale("2", a, 6), sale("C3", a, -6), sale("C4", a, -6)}, cancelled: []string{"1", "2"}},
		"twice, of one": {
			file: [][]line{sale("1", a, 6), sale("C2", a, -6), sale("C3", a, -6)}, cancelled: []string{"1"}, reason: cancelNone},
	} {
		var lines []line
		for _, l := range slices.Concat(c.file...) {
			l.number = len(lines) + 2
			lines = append(lines, l)
		}
		p := makePlan(lines, nil)
		var cancelled []string
		for _, customer := range p.customers {
			for _, o := range customer.orders {
				if o.cancellation != nil {
					cancelled = append(cancelled, o.invoice)
				}
			}
		}
		reason := ""
		for _, r := range p.rejected {
			reason = r.reason
		}
		if !slices.Equal(cancelled, c.cancelled) || reason != c.reason {
			t.Errorf("%s: cancelled %v, left %q; want %v, %q", name, cancelled, reason, c.cancelled, c.reason)
		}
	}
}

func TestSomebodyElsesOrderIsNotCancelled(t *testing.T) {
	theirs := sale("1", "11111", 6)
	theirs[0].customer = "13047"
	p := makePlan(append(theirs, sale("C2", "11111", -6)...), nil)
	if p.customers[0].orders[0].cancellation != nil || len(p.rejected) != 1 || p.rejected[0].reason != cancelNone {
		t.Errorf("rejected %+v", p.rejected)
	}
}

func TestLongInvoicesAreSplit(t *testing.T) {
	var lines []line
	for i := range 2*maxItems + 1 {
		lines = append(lines, line{number: i + 2, invoice: "1", sku: "11111", quantity: 1, price: 1, customer: "17850"})
	}
	p := makePlan(lines, nil)
	o := p.customers[0].orders[0]
	var sizes []int
	var keys []string
	for i, part := range o.parts() {
		sizes, keys = append(sizes, len(part)), append(keys, o.key(i))
	}
	if !slices.Equal(sizes, []int{maxItems, maxItems, 1}) {
		t.Errorf("parts of %v lines", sizes)
	}
	if want := []string{"onlineretail/invoice/1", "onlineretail/invoice/1/2", "onlineretail/invoice/1/3"}; !slices.Equal(keys, want) {
		t.Errorf("keys %v; want %v", keys, want)
	}
	if got := p.expected().Paid; got != (sum{3, 2*maxItems + 1}) {
		t.Errorf("expected %+v", got)
	}
}
