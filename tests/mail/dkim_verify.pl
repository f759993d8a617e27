#!/usr/bin/perl
# What Mail::DKIM says of DIRECTORY/0.eml and on, COUNT of them: a line "NUMBER ALGORITHM RESULT" for
# each signature. Keys are those of DIRECTORY/records; the DNS is not asked.
use strict;
use warnings;
use Mail::DKIM::DNS;
use Mail::DKIM::Verifier;

my ($directory, $count) = @ARGV;
my %records;
open(my $list, '<', "$directory/records") or die "$directory/records: $!";
while (<$list>) {
    chomp;
    my ($name, $text) = split(/ /, $_, 2);
    $records{$name} = $text;
}

package Record {
    sub new { my ($class, $text) = @_; return bless { text => $text }, $class; }
    sub type { return 'TXT'; }
    sub txtdata { my ($self) = @_; return $self->{text}; }
    sub char_str_list { my ($self) = @_; return $self->{text}; }
}

{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query = sub {
        my ($name) = @_;
        my $text = $records{$name};
        return defined($text) ? Record->new($text) : ();
    };
}

for my $number (0 .. $count - 1) {
    open(my $file, '<:raw', "$directory/$number.eml") or die "$directory/$number.eml: $!";
    my $message = do { local $/; <$file> };
    my $verifier = Mail::DKIM::Verifier->new();
    $verifier->PRINT($message);
    $verifier->CLOSE();
    for my $signature ($verifier->signatures) {
        print $number, ' ', $signature->algorithm, ' ', $signature->result_detail, "\n";
    }
}
