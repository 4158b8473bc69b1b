// Package style is how the plugin marks what is well and what isn't. Each mark has
// a word or a sign beside its colour, which is taken out where nobody sees it.
package style

import (
	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/tree"
)

// The styles, in the terminal's own colours.
var (
	Good    = lipgloss.NewStyle().Foreground(lipgloss.Green)
	Waiting = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	Bad     = lipgloss.NewStyle().Foreground(lipgloss.Red)
	Quiet   = lipgloss.NewStyle().Faint(true)
	Strong  = lipgloss.NewStyle().Bold(true)
)

// Tree with a root.
func Tree(root string) *tree.Tree {
	return tree.Root(root).EnumeratorStyle(Quiet.PaddingRight(1)).IndenterStyle(Quiet.PaddingRight(1))
}
