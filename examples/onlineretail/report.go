package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// summary prints the number of used lines, and of unused lines by reason.
func (t *importer) summary(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer table.Flush()
	row := func(n int, what string) { fmt.Fprintf(table, "%d\t  %s\n", n, what) }
	row(t.plan.read, "lines read")
	row(t.used, "lines used")
	row(len(t.rejected), "lines not used:")
	count := map[string]int{}
	for _, r := range t.rejected {
		count[r.reason]++
	}
	reasons := make([]string, 0, len(count))
	for reason := range count {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	for _, reason := range reasons {
		row(count[reason], "  "+reason)
	}
}

// comparison prints two totals beside each other.
func comparison(w io.Writer, file, shop totals) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer table.Flush()
	fmt.Fprintf(table, "\tby the file\tby the shop\t\n")
	row := func(what, a, b string) {
		mark := ""
		if a != b {
			mark = "  DIFFERS"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", what, a, b, mark)
	}
	orders := func(what string, a, b sum) {
		row("orders "+what, strconv.FormatInt(a.Orders, 10), strconv.FormatInt(b.Orders, 10))
		row("their total", pounds(a.Pence), pounds(b.Pence))
	}
	orders("paid", file.Paid, shop.Paid)
	orders("cancelled", file.Cancelled, shop.Cancelled)
	orders("otherwise", file.Other, shop.Other)
	row("pieces on hand", strconv.FormatInt(file.OnHand, 10), strconv.FormatInt(shop.OnHand, 10))
	row("pieces reserved", strconv.FormatInt(file.Reserved, 10), strconv.FormatInt(shop.Reserved, 10))
}

func pounds(pence int64) string {
	sign := ""
	if pence < 0 {
		sign, pence = "-", -pence
	}
	return fmt.Sprintf("%s£%d.%02d", sign, pence/100, pence%100)
}

// writeRejected writes every line that could not be used, as CSV.
func writeRejected(w io.Writer, all []rejected) error {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b rejected) int { return a.number - b.number })
	rows := csv.NewWriter(w)
	rows.Write([]string{"line", "invoice", "sku", "reason"})
	for _, r := range all {
		rows.Write([]string{strconv.Itoa(r.number), r.invoice, r.sku, r.reason})
	}
	rows.Flush()
	return rows.Error()
}
