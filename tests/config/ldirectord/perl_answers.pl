# Answers what Perl itself makes of a pattern, for test_perl_regex.py.
#
# One line in: the pattern and then the subjects, in hex, with a point before each and blanks between. One line out:
# for each subject the span "start-end" of the match, or "none"; or for the whole line "refused" and the message in hex.
use strict;
no warnings;
$| = 1;

sub span {
    my ($pattern, $subject) = @_;
    return $subject =~ /$pattern/ ? "$-[0]-$+[0]" : "none";
}

while (defined(my $line = readline(STDIN))) {
    my ($pattern, @subjects) = map { pack("H*", substr($_, 1)) } split(" ", $line);
    $pattern = "(?:)" if $pattern eq "";    # an empty one means "the last that matched" to Perl
    my @spans = eval { map { span($pattern, $_) } @subjects };
    print $@ eq "" ? "@spans" : "refused " . unpack("H*", $@), "\n";
}
